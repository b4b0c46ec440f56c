"""What a crawl leaves behind."""
