-- What is another text after a restart of this server, or after it has taken over. The key only makes sure that the one who
-- answers serves the partition.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
return run .. ' ' .. history
