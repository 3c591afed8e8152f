"""Any model by name: bundled, or of the Hub, and the images that go with it."""
