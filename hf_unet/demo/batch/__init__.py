"""Many images: files and zips in, a table and one zip out."""
