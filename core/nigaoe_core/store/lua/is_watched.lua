-- Tell whether a job counts as watched.
-- ARGV: job id. Returns 1 or 0.

local until_when = redis.call('HGET', P .. 'job:' .. ARGV[1], 'watched_until')
return until_when and tonumber(until_when) > now() and 1 or 0
