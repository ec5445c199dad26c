"""Task files: from Markdown to what may change."""
