"""The proof that a crawl survives anything: `crawler selftest`, and the site it crawls."""
