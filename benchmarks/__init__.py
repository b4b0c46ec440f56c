"""The same work done by the crawler and by its peers, side by side in one run."""
