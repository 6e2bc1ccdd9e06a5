-- Insert new rows of one tenant, all or none.
-- ARGV: nonce, idempotency key ('' for none), body hash, deduplication key ('' for none), max queued, max age,
-- max active ('' for no limit), writes.

local nonce, idempotency_key, body_hash, deduplication_key = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local max_queued, max_age, max_active = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local writes = cjson.decode(ARGV[8])
local tenant = writes[1].tenant

-- The reply of an earlier try was lost, or the caller repeats himself.
if redis.call('EXISTS', P .. 'job:' .. writes[1].id) == 1 then
    return { 'stored' }
end

-- A row names all keys that belong to it, so that they go with it.
local idempotency = P .. 'idempotency:' .. tenant .. ':' .. idempotency_key
local function bind_idempotency(ids)
    if idempotency_key == '' then
        return
    end
    redis.call('HSET', idempotency, 'body_hash', body_hash, 'jobs', table.concat(ids, ' '))
    for _, id in ipairs(ids) do
        local others = redis.call('HGET', P .. 'job:' .. id, 'idempotency')
        redis.call('HSET', P .. 'job:' .. id, 'idempotency', others and others .. ' ' .. idempotency or idempotency)
    end
end

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

local same = P .. 'same:' .. tenant .. ':' .. deduplication_key
if deduplication_key ~= '' then
    local known = redis.call('GET', same)
    local state = known and redis.call('HGET', P .. 'job:' .. known, 'state')
    if state == 'queued' or state == 'running' or state == 'succeeded' then
        bind_idempotency({ known })
        return { 'replayed', known }
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
    ids[i] = write.id
end
bind_idempotency(ids)
if deduplication_key ~= '' then
    redis.call('SET', same, ids[1])
    redis.call('HSET', P .. 'job:' .. ids[1], 'same', same)
end
return { 'stored' }
