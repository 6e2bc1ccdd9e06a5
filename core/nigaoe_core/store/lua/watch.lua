-- Let a job count as watched for a while; a job without a row is left alone.
-- ARGV: job id, seconds. Returns 1 when it is there.

local key = P .. 'job:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then
    return 0
end
redis.call('HSET', key, 'watched_until', string.format('%.3f', now() + tonumber(ARGV[2])))
return 1
