-- Insert new rows of one tenant, all or none.
-- ARGV: nonce, idempotency key ('' for none), body hash, max queued, max age, max active ('' for no limit), writes.

local nonce, idempotency_key, body_hash = ARGV[1], ARGV[2], ARGV[3]
local max_queued, max_age, max_active = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local writes = cjson.decode(ARGV[7])
local tenant = writes[1].tenant

-- The reply of an earlier try was lost, or the caller repeats himself.
if redis.call('EXISTS', P .. 'job:' .. writes[1].id) == 1 then
    return { 'stored' }
end

local idempotency = P .. 'idempotency:' .. tenant .. ':' .. idempotency_key
if idempotency_key ~= '' then
    local known = redis.call('HMGET', idempotency, 'body_hash', 'jobs')
    if known[1] then
        if known[1] == body_hash then
            return { 'replayed', known[2] }
        end
        return { 'conflict' }
    end
end

-- Its drawings would outlive the face that their owner has deleted.
for _, write in ipairs(writes) do
    if write.parent ~= '' and redis.call('EXISTS', P .. 'job:' .. write.parent) == 0 then
        return { 'no_parent' }
    end
end

if max_queued and redis.call('ZCARD', P .. 'queue') + #writes > max_queued then
    return { 'full' }
end
local oldest = redis.call('ZRANGE', P .. 'waiting', 0, 0, 'WITHSCORES')
if max_age and oldest[2] and now() - tonumber(oldest[2]) > max_age then
    return { 'full' }
end
if max_active and redis.call('SCARD', P .. 'active:' .. tenant) + #writes > max_active then
    return { 'quota' }
end

local ids = {}
for i, write in ipairs(writes) do
    put(write, false, 1, nonce)
    redis.call('SADD', P .. 'active:' .. tenant, write.id)
    redis.call('ZADD', P .. 'tenant:' .. tenant, 0, write.mark)
    if write.parent ~= '' then
        redis.call('SADD', P .. 'restyles:' .. write.parent, write.id)
        redis.call('HSET', P .. 'job:' .. write.id, 'parent', write.parent)
    end
    if idempotency_key ~= '' then
        redis.call('HSET', P .. 'job:' .. write.id, 'idempotency', idempotency)
    end
    ids[i] = write.id
end
if idempotency_key ~= '' then
    redis.call('HSET', idempotency, 'body_hash', body_hash, 'jobs', table.concat(ids, ' '))
end
return { 'stored' }
