"""The demo: a small agent on the real client packages, and the accounts of what it cost."""
