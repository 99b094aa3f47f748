-- What every script begins with: the channel as it is now, with its epoch.
-- KEYS: the channel's meta hash, its stream.
-- ARGV: the server that this is, whether it has kept all that it ever accepted ('1' or '0'), an epoch that nobody has
-- used, then how many events are kept, how old (ms) and how large (bytes) all of them may be, and for how long (ms) the
-- meta hash stays.
local meta, stream = KEYS[1], KEYS[2]
local server, kept_all, fresh = ARGV[1], ARGV[2], ARGV[3]
local most, age, room, stay = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]

local function text(number)
  return string.format('%.0f', number)
end

local found = redis.call('HMGET', meta, 'epoch', 'offset', 'id', 'bytes', 'server')
local epoch, top, id, bytes = found[1], tonumber(found[2] or 0), found[3] or '', tonumber(found[4] or 0)
if not epoch then
  redis.call('DEL', stream)
  epoch, top, id = fresh, 0, ''
  redis.call('HSET', meta, 'epoch', epoch, 'offset', '0', 'server', server)
elseif found[5] ~= server then
  -- Another server than the one that wrote last: what that one had accepted may be lost.
  if kept_all == '0' then
    epoch = fresh
  end
  redis.call('HSET', meta, 'epoch', epoch, 'server', server)
end

local length = redis.call('XLEN', stream)
if length == 0 then
  bytes = 0
end

-- Drops what is too much or too old; returns the first entry that stays.
local function trim()
  local time = redis.call('TIME')
  local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - age
  while length > 0 do
    local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    local at = tonumber(string.match(first[1], '%d+$'))
    if length <= most and bytes <= room and at > oldest then
      return first
    end
    redis.call('XDEL', stream, first[1])
    length, bytes = length - 1, bytes - #first[2][2]
  end
end

