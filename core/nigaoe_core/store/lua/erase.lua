-- Remove a row with all that belongs to it if it is still at the revision that the caller read.
-- ARGV: job id, revision, erasures, whether restyles go too ('' for no).
-- Returns 1 when it is gone, 0 when it has changed meanwhile.

local id, revision = ARGV[1], ARGV[2]
local key = P .. 'job:' .. id
local row = redis.call('HMGET', key, 'revision', 'state', 'tenant', 'mark', 'idempotency', 'parent', 'same')

if not row[1] then
    return 1
end
if row[1] ~= revision then
    return 0
end
redis.call('DEL', key, P .. 'events:' .. id)
redis.call('HINCRBY', P .. 'states', row[2], -1)
redis.call('SREM', P .. 'active:' .. row[3], id)
redis.call('ZREM', P .. 'tenant:' .. row[3], row[4])
leave_queue(id)
leave_due_indexes(id, {})
redis.call('ZREM', P .. 'agenda:deletion', id)
redis.call('HDEL', P .. 'tries:deletion', id)
if row[6] then
    redis.call('SREM', P .. 'restyles:' .. row[6], id)
end
if ARGV[4] ~= '' then
    for _, restyle in ipairs(redis.call('SMEMBERS', P .. 'restyles:' .. id)) do
        redis.call('ZADD', P .. 'agenda:deletion', string.format('%.6f', now()), restyle)
    end
end
add_erasures(cjson.decode(ARGV[3]))

-- An Idempotency-Key goes with the last of its jobs, a deduplication key with the job that it names.
for idempotency in string.gmatch(row[5] or '', '%S+') do
    local is_needed = false
    for other in string.gmatch(redis.call('HGET', idempotency, 'jobs') or '', '%S+') do
        is_needed = is_needed or redis.call('EXISTS', P .. 'job:' .. other) == 1
    end
    if not is_needed then
        redis.call('DEL', idempotency)
    end
end
if row[7] and redis.call('GET', row[7]) == id then
    redis.call('DEL', row[7])
end
redis.call('PUBLISH', P .. 'changes', id)
return 1
