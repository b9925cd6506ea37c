"""The commands that are none of Lightning's."""
