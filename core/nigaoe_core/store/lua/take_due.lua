-- Take due entries of an index and put each off, so that nobody else takes it before its pause is over.
-- ARGV: due index, limit, pause, longest pause (seconds). Returns members and tries by turns.

local index, limit = P .. 'agenda:' .. ARGV[1], ARGV[2]
local pause, max_pause = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = now()
local taken = {}

for _, member in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', string.format('%.6f', time), 'LIMIT', 0, limit)) do
    local tries = redis.call('HINCRBY', P .. 'tries:' .. ARGV[1], member, 1)
    local due = time + math.min(max_pause, pause * 2 ^ math.min(tries - 1, 40))
    redis.call('ZADD', index, string.format('%.6f', due), member)
    taken[#taken + 1] = member
    taken[#taken + 1] = tries
end
return taken
