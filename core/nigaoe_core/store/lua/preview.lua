-- Append a preview if this claim still holds the job.
-- ARGV: job id, fencing token, data. Returns 1 when it was appended.

local id, token = ARGV[1], ARGV[2]
if redis.call('HGET', P .. 'job:' .. id, 'token') ~= token then
    return 0
end
add_events(id, { { 'preview', ARGV[3] } }, false)
redis.call('PUBLISH', P .. 'changes', id)
return 1
