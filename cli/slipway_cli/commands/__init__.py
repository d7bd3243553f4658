"""The commands, by what people want: to log in, to look, to change what runs, to configure."""
