"""The client against real servers, good ones and hostile ones."""
