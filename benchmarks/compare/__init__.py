"""The same crawl done by the crawler, by a bare loop and by its peers, side by side in one run.

`make bench` runs it; docs/performance.md says how to read what it prints.
"""
