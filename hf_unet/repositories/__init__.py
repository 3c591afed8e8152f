"""A model repository, a folder or on the Hub: read strictly, written whole, held to its word."""
