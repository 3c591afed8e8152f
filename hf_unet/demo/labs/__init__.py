"""What the tabs Judge, Weight map and Tiles show of a result: scenes, figures and words."""
