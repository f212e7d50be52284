#!lua flags=allow-oom
-- Before all others: what frees memory runs on a server that is full, too.
