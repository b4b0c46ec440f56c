"""Who reads a robots.txt, and what it allows them."""

from crawler.robots import RobotsRules

US = "crawler/0.1 (+https://crawler.example/)"


def allowed(robots, path, agent=US):
    return RobotsRules.parse(robots.encode()).allowed(agent, f"http://books.example{path}")


def for_all(*rules):
    return "\n".join(["User-agent: *", *rules])
