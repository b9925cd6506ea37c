"""One file for each input format. Each reader yields tables of strings; :data:`formats.READERS` lists them."""
