-- Replace a row if it is still at the revision that the caller read.
-- ARGV: nonce, revision, write. Returns 1 when the new row is in place, 0 when another was there first.

local nonce, revision = ARGV[1], ARGV[2]
local write = cjson.decode(ARGV[3])
local row = redis.call('HMGET', P .. 'job:' .. write.id, 'revision', 'nonce', 'state')

if row[1] ~= revision then
    -- The reply of an earlier try of this very swap was lost: it is done.
    return row[2] == nonce and 1 or 0
end
put(write, row[3], tonumber(revision) + 1, nonce)
return 1
