"""One child process a cell, exactly one record each, whatever happens."""
