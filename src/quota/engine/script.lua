-- Charges units to all records or, where one has no room, to none.
--
-- KEYS    a hash each: window in seconds -> 'span previous current'
-- ARGV    'try', or 'add' to charge whether or not there is room; the time in ms after which nobody waits any more, or 0; then
--         for each key: units, number of windows, and for each window: seconds, limit
-- Answer  charged (1 or 0; 2 when it came too late, and nothing was done), the time in ms; then for each window: span, previous,
--         current
--
-- The arithmetic is that of the filter's own windows (src/quota/window.rs).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local MOST = 4294967295

-- Who asked has counted by itself meanwhile, and will tell.
local deadline = tonumber(ARGV[2])
if deadline > 0 and now > deadline then return {2, now} end

-- ceil(previous * left / length); in two parts, for Lua's numbers are whole up to 2^53 only.
local function overlap(previous, left, length)
  local high = math.floor(previous / 65536)
  local part = high * left
  local whole = math.floor(part / length)
  local rest = (part - whole * length) * 65536 + (previous - high * 65536) * left
  return whole * 65536 + math.ceil(rest / length)
end

local function present(stored, length)
  local span, previous, current = 0, 0, 0
  if stored then
    span, previous, current = string.match(stored, '^(%d+) (%d+) (%d+)$')
    span, previous, current = tonumber(span), tonumber(previous), tonumber(current)
  end
  local here = math.floor(now / length)
  local passed = here - span
  if passed < -1 then return here, 0, math.min(previous + current, MOST), true end
  if passed <= 0 then return span, previous, current, false end
  if passed == 1 then return here, current, 0, false end
  return here, 0, 0, false
end

local records, fits, at = {}, true, 3
for k = 1, #KEYS do
  local record = {units = tonumber(ARGV[at]), moved = false, longest = 0}
  at = at + 2
  for w = 1, tonumber(ARGV[at - 1]) do
    local seconds, limit = ARGV[at], tonumber(ARGV[at + 1])
    local length = tonumber(seconds) * 1000
    local span, previous, current, moved = present(redis.call('HGET', KEYS[k], seconds), length)
    local left = length - math.max(0, math.min(length, now - span * length))
    local used = current + overlap(previous, left, length)
    if record.units > 0 and used + record.units > limit then fits = false end
    record[w] = {seconds = seconds, span = span, previous = previous, current = current}
    record.moved = record.moved or moved
    record.longest = math.max(record.longest, length)
    at = at + 2
  end
  records[k] = record
end

local charged = fits or ARGV[1] == 'add'
local answer = {charged and 1 or 0, now}
for k = 1, #KEYS do
  local record = records[k]
  local writes = record.moved or (charged and record.units > 0)
  for _, window in ipairs(record) do
    if charged then window.current = math.min(window.current + record.units, MOST) end
    if writes then
      local text = string.format('%.0f %.0f %.0f', window.span, window.previous, window.current)
      redis.call('HSET', KEYS[k], window.seconds, text)
    end
    answer[#answer + 1] = window.span
    answer[#answer + 1] = window.previous
    answer[#answer + 1] = window.current
  end
  -- After two lengths of its longest window a record counts for nothing.
  if writes and redis.call('PTTL', KEYS[k]) < record.longest * 2 then
    redis.call('PEXPIRE', KEYS[k], record.longest * 2)
  end
end
return answer
