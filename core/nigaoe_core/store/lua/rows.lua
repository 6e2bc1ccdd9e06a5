-- What every script shares. KEYS[1] is the prefix of all keys, with its hash tag, so that a cluster keeps them in one
-- slot. Numbers that must keep their digits (times, ranks) arrive and leave as text: Lua would cut them to 14 digits.

local P = KEYS[1]
local QUARANTINED = 'quarantined'
-- Those whose entries are replaced with every write of their row.
local DUE_INDEXES = { 'lease', 'deadline', 'retention', 'doorbell', 'webhook', 'quarantine' }

local function now()
    local time = redis.call('TIME')
    return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function add_erasures(erasures)
    for member, due in pairs(erasures) do
        redis.call('ZADD', P .. 'agenda:erasure', due, member)
        redis.call('HDEL', P .. 'tries:erasure', member)
    end
end

local function leave_due_indexes(id, staying)
    for _, index in ipairs(DUE_INDEXES) do
        if not staying[index] then
            redis.call('ZREM', P .. 'agenda:' .. index, id)
        end
        redis.call('HDEL', P .. 'tries:' .. index, id)
    end
end

local function leave_queue(id)
    redis.call('ZREM', P .. 'queue', id)
    redis.call('ZREM', P .. 'waiting', id)
end

local function add_events(id, events, has_ended)
    if #events == 0 then
        return
    end
    local key = P .. 'events:' .. id
    for _, event in ipairs(events) do
        redis.call('XADD', key, 'MAXLEN', has_ended and LAST_EVENTS or MAX_EVENTS, '*', 'kind', event[1], 'data', event[2])
    end
    redis.call('EXPIRE', key, EVENT_SECONDS)
end

-- Bring back what `quarantine.lua` took away and a write does not say.
local function readmit(write)
    local key = P .. 'job:' .. write.id
    redis.call('ZADD', P .. 'tenant:' .. write.tenant, 0, write.mark)
    if not write.has_ended then
        redis.call('SADD', P .. 'active:' .. write.tenant, write.id)
    elseif not write.is_visible and not redis.call('HGET', key, 'owes_webhook') then
        write.due.webhook = nil
    end
    redis.call('HDEL', key, 'owes_webhook')
end

-- Put a row with its indexes; old_state is false for a new one.
local function put(write, old_state, revision, nonce)
    local id = write.id
    redis.call('HSET', P .. 'job:' .. id, 'record', write.record, 'revision', revision, 'nonce', nonce,
        'token', write.token, 'state', write.state, 'tenant', write.tenant, 'folder', write.folder,
        'mark', write.mark)
    if old_state == QUARANTINED then
        readmit(write)
    end
    if old_state ~= write.state then
        if old_state then
            redis.call('HINCRBY', P .. 'states', old_state, -1)
        end
        redis.call('HINCRBY', P .. 'states', write.state, 1)
    end
    if write.rank then
        redis.call('ZADD', P .. 'queue', write.rank, id)
        redis.call('ZADD', P .. 'waiting', write.queued_at, id)
    else
        leave_queue(id)
    end
    if write.has_ended then
        redis.call('SREM', P .. 'active:' .. write.tenant, id)
    end
    for index, due in pairs(write.due) do
        redis.call('ZADD', P .. 'agenda:' .. index, due, id)
    end
    leave_due_indexes(id, write.due)
    add_erasures(write.erasures)
    add_events(id, write.events, write.has_ended)
    if write.is_visible then
        redis.call('PUBLISH', P .. 'changes', id)
    end
end
