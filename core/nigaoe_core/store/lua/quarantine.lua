-- Take a row whose record cannot be read out of the queue and of every index; the row itself stays as it is.
-- ARGV: job id, revision, seconds until it is to be forgotten. Returns 1 when it was put there by this call.

local id, revision, seconds = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = P .. 'job:' .. id
local row = redis.call('HMGET', key, 'revision', 'state', 'tenant', 'mark')

if row[1] ~= revision or row[2] == QUARANTINED then
    return 0
end
if redis.call('ZSCORE', P .. 'agenda:webhook', id) then
    redis.call('HSET', key, 'owes_webhook', 1)
end
redis.call('HSET', key, 'state', QUARANTINED)
redis.call('HINCRBY', P .. 'states', row[2], -1)
redis.call('HINCRBY', P .. 'states', QUARANTINED, 1)
redis.call('SREM', P .. 'active:' .. row[3], id)
redis.call('ZREM', P .. 'tenant:' .. row[3], row[4])
leave_queue(id)
leave_due_indexes(id, {})
redis.call('ZADD', P .. 'agenda:quarantine', string.format('%.6f', now() + seconds), id)
return 1
