-- Before scripts that read what no failover may take back. First key: fence. First argument: 1 where replicas are waited for.
-- Within the script, because a server that does not know it yet runs it after the rest of the pipeline.

if ARGV[1] == '1' then
  -- A new time to live, of 100 years, is a write that a full server takes, too.
  if redis.call('EXPIRE', KEYS[1], '3153600000') == 0 then
    redis.call('SET', KEYS[1], '')
  end
end
