"""What Redis does in one step, as a Lua script: takes are decided on, and sums kept, where all clients meet.

Keys, behind the prefix; `{…}` is the hash tag of an entry, so that in a cluster all of it is in one place:

    takes:{…}           hash: a take a field, named after seed and slot; its value begins with HEADER
    about:{…}           hash: the question, and sums over its takes
    part:{…}:id:n       a piece of an answer that is too large for one value
    lease:{…}:rest      hash: who has a claim, and its token
    {index}:seq         the number of the latest addition
    {index}:stubs       hash: for each key what is in the sums because of it
    {index}:sums        hash: sums by provider, model and URL
    {index}:totals      hash: sums of all
    {index}:kind:…      zset: the keys of a provider, model and URL, by the number of their latest addition
    {index}:partition:… zset: the same of a partition; so {index}:tag:…
    {index}:due         zset: keys by when the time to live of the first of their takes passes
    {index}:ends        zset: keys by when the server forgets them

Where entries may be in other slots than the index, the script runs once for the entry and once for the index.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct(">11d16s32sBI")
"""Of a take: its number, when it was recorded, its time to live (below zero: none), the microseconds that it took,
four counts of tokens, the bytes kept, how many parts, a fencing token; then the name of the parts, the digest, the
coding and the length of the seed. After it come the seed, four bytes of the slot, and the answer."""

COUNTS = ("takes", "size", "hits", "input", "output", "cached", "written", "micros")
"""What is summed up for an entry; all are whole numbers."""

SAVED = ("input", "output", "cached", "written")
"""Of these, what hits saved is summed up as well, in thousandths."""

SCRIPT = """
local prefix, op = ARGV[1], ARGV[2]
local touches_entry, touches_index = ARGV[3] ~= 'index', ARGV[3] ~= 'entry'
local key = ARGV[4]
local index = prefix .. '{index}:'
local COUNTS = {'takes', 'size', 'hits', 'input', 'output', 'cached', 'written', 'micros'}
local SAVED = {'input', 'output', 'cached', 'written'}

local function whole(number) return string.format('%.0f', number) end

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The index -----------------------------------------------------------------------------------------------

local function counted(stub, sign, add)
  add('entries', sign)
  for i, name in ipairs(COUNTS) do add(name, sign * stub.counts[i]) end
  local takes, hits = stub.counts[1], stub.counts[3]
  for i, name in ipairs(SAVED) do
    add(name .. '_saved', sign * math.floor(1000 * hits * stub.counts[3 + i] / math.max(takes, 1) + 0.5))
  end
  if stub.counts[4] == 0 and stub.counts[5] == 0 then add('uncounted', sign * hits) end
end

local function lists(stub)
  local names = {index .. 'kind:' .. stub.kind, index .. 'partition:' .. stub.partition}
  for _, tag in ipairs(stub.tags) do names[#names + 1] = index .. 'tag:' .. tag end
  return names
end

local function sum_up(before, after)
  local changes, all = {}, {entries = 0, takes = 0, size = 0}
  local function account(stub, sign)
    counted(stub, sign, function(name, amount)
      local field = stub.kind .. '\\n' .. name
      changes[field] = (changes[field] or 0) + amount
      if all[name] then all[name] = all[name] + amount end
    end)
  end
  if before then account(before, -1) end
  if after then account(after, 1) end
  for field, amount in pairs(changes) do
    if amount ~= 0 then redis.call('HINCRBY', index .. 'sums', field, whole(amount)) end
  end
  for name, amount in pairs(all) do
    if amount ~= 0 then redis.call('HINCRBY', index .. 'totals', name, whole(amount)) end
  end
  if before and (not after or after.kind ~= before.kind) then
    if tonumber(redis.call('HGET', index .. 'sums', before.kind .. '\\nentries') or 0) <= 0 then
      counted(before, 1, function(name) redis.call('HDEL', index .. 'sums', before.kind .. '\\n' .. name) end)
      redis.call('HDEL', index .. 'sums', before.kind .. '\\nuncounted')
    end
  end
end

local function note(member, after)
  local found = redis.call('HGET', index .. 'stubs', member)
  local before = found and cmsgpack.unpack(found)
  sum_up(before, after)
  if after then
    local number
    if after.is_new or not before then
      number = redis.call('INCR', index .. 'seq')
    end
    for _, name in ipairs(lists(after)) do
      if number then redis.call('ZADD', name, number, member) end
    end
    if after.due then redis.call('ZADD', index .. 'due', after.due, member)
    else redis.call('ZREM', index .. 'due', member) end
    if after.ends then redis.call('ZADD', index .. 'ends', after.ends, member)
    else redis.call('ZREM', index .. 'ends', member) end
    after.is_new, after.due, after.ends = nil, nil, nil
    redis.call('HSET', index .. 'stubs', member, cmsgpack.pack(after))
  elseif before then
    for _, name in ipairs(lists(before)) do redis.call('ZREM', name, member) end
    redis.call('ZREM', index .. 'due', member)
    redis.call('ZREM', index .. 'ends', member)
    redis.call('HDEL', index .. 'stubs', member)
  end
end

local function sweep(most)
  local now = math.floor(clock() / 1000) - 1000
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', index .. 'ends', '-inf', whole(now), 'LIMIT', 0, most)) do
    note(member, nil)
  end
end

-- An entry ------------------------------------------------------------------------------------------------

local takes, about = KEYS[1], KEYS[2]

local function read(value)
  local seq, recorded, ttl, micros, input, output, cached, written, size, parts, fence, id =
    struct.unpack('>dddddddddddc16', value)
  return {
    seq = seq, due = ttl >= 0 and recorded + ttl, ttl = ttl, size = size, parts = parts, fence = fence, id = id,
    counts = {1, size, 0, input, output, cached, written, micros},
  }
end

local function parts_of(take)
  local names = {}
  for i = 0, take.parts - 1 do
    names[#names + 1] = string.gsub(takes, 'takes:{', 'part:{', 1) .. ':' .. take.id .. ':' .. whole(i)
  end
  return names
end

local function count(take, sign)
  for i, name in ipairs(COUNTS) do
    if take.counts[i] ~= 0 then redis.call('HINCRBY', about, name, whole(sign * take.counts[i])) end
  end
end

local function drop(name, take)
  redis.call('HDEL', takes, name)
  for _, part in ipairs(parts_of(take)) do redis.call('DEL', part) end
  count(take, -1)
end

local function all_takes()
  local found, flat = {}, redis.call('HGETALL', takes)
  for i = 1, #flat, 2 do
    local take = read(flat[i + 1])
    take.name = flat[i]
    found[#found + 1] = take
  end
  table.sort(found, function(one, other) return one.seq < other.seq end)
  return found
end

local function stub(is_new)
  if redis.call('EXISTS', takes) == 0 then
    redis.call('DEL', about)
    return nil
  end
  local made = {is_new = is_new, counts = {}}
  for i, value in ipairs(redis.call('HMGET', about, unpack(COUNTS))) do
    made.counts[i] = tonumber(value or 0)
  end
  made.kind = redis.call('HGET', about, 'index')
  if not made.kind then return nil end
  made.partition = redis.call('HGET', about, 'partition') or ''
  made.tags = cjson.decode(redis.call('HGET', about, 'tags') or '[]')
  for _, take in ipairs(all_takes()) do
    if take.due and take.due < (made.due or math.huge) then made.due = take.due end
  end
  local left = redis.call('PTTL', takes)
  if left > 0 then made.ends = math.floor(clock() / 1000) + left end
  return made
end

local function field_of(pairs, name)
  for i = 1, #pairs, 2 do
    if pairs[i] == name then return pairs[i + 1] end
  end
end

local function add(name, value, replace, instead, lifetime, asked, question)
  local before, new = redis.call('HGET', takes, name), read(value)
  if before then
    if before ~= instead then
      if not replace then return 0 end
      if new.fence > 0 and read(before).fence > new.fence then return 0 end
    end
  end
  for _, part in ipairs(parts_of(new)) do
    if redis.call('EXISTS', part) == 0 then return 0 end  -- evicted already
  end
  local latest = 0
  if redis.call('EXISTS', takes) == 0 or redis.call('EXISTS', about) == 0 then  -- the server may evict either
    -- The first to be written, and something that a full server refuses: or it would grow beyond its limit.
    redis.call('HSET', about, 'takes', 0, 'size', asked, unpack(question))
    redis.call('HDEL', about, 'hits', 'input', 'output', 'cached', 'written', 'micros')
    for _, take in ipairs(all_takes()) do
      count(take, 1)
      latest = math.max(latest, take.seq)
    end
  else
    latest = tonumber(redis.call('HGET', about, 'latest') or 0)
  end
  if before then drop(name, read(before)) end
  local now = clock()
  local seq = math.max(now, latest + 1)
  local is_first = redis.call('EXISTS', takes) == 0
  redis.call('HSET', takes, name, struct.pack('>d', seq) .. string.sub(value, 9))
  redis.call('HSET', about, 'latest', whole(seq), 'tags', field_of(question, 'tags'))
  count(new, 1)
  local recorded = struct.unpack('>d', string.sub(value, 9, 16))
  if recorded > tonumber(redis.call('HGET', about, 'used') or 0) then
    redis.call('HSET', about, 'used', string.format('%.17g', recorded))
  end
  if lifetime == '' then
    redis.call('PERSIST', takes)
    redis.call('PERSIST', about)
    for _, part in ipairs(parts_of(new)) do redis.call('PERSIST', part) end
  else
    local ends = math.floor(now / 1000) + tonumber(lifetime)
    local left = redis.call('PTTL', takes)
    for _, part in ipairs(parts_of(new)) do redis.call('PEXPIREAT', part, whole(ends)) end
    if is_first or (left >= 0 and math.floor(now / 1000) + left < ends) then
      redis.call('PEXPIREAT', takes, whole(ends))
      redis.call('PEXPIREAT', about, whole(ends))
    end
  end
  return 1
end

local function remove()
  local found = all_takes()
  for _, take in ipairs(found) do drop(take.name, take) end
  redis.call('DEL', about)
  return #found > 0 and 1 or 0
end

local function prune(now)
  local gone = 0
  for _, take in ipairs(all_takes()) do
    if take.due and take.due <= now then
      drop(take.name, take)
      gone = gone + 1
    end
  end
  return gone
end

local function trim(most)
  local found, gone = all_takes(), 0
  while gone < #found - 1 and tonumber(redis.call('HGET', about, 'size') or 0) > most do
    gone = gone + 1
    drop(found[gone].name, found[gone])
  end
  return gone
end

local function hit(times, used)
  if redis.call('EXISTS', takes) == 0 or redis.call('EXISTS', about) == 0 then return 0 end
  redis.call('HINCRBY', about, 'hits', times)
  if tonumber(used) > tonumber(redis.call('HGET', about, 'used') or 0) then
    redis.call('HSET', about, 'used', used)
  end
  return 1
end

-- One step ------------------------------------------------------------------------------------------------

local result, after = 0, nil
if touches_entry then
  if op == 'add' then
    local question = {}
    for i = 11, #ARGV do question[#question + 1] = ARGV[i] end
    result = add(ARGV[5], ARGV[6], ARGV[7] == '1', ARGV[8], ARGV[9], ARGV[10], question)
  elseif op == 'remove' then result = remove()
  elseif op == 'prune' then result = prune(tonumber(ARGV[5]))
  elseif op == 'trim' then result = trim(tonumber(ARGV[5]))
  elseif op == 'hit' then result = hit(ARGV[5], ARGV[6])
  end
  after = stub(op == 'add' and result == 1)
  if not touches_index then return {result, after and cmsgpack.pack(after) or ''} end
else
  result = tonumber(ARGV[5])
  if ARGV[6] ~= '' then after = cmsgpack.unpack(ARGV[6]) end
end
if op == 'list' then
  if redis.call('HEXISTS', index .. 'stubs', key) == 1 then return {0, '0'} end
  after = {counts = {0, 0, 0, 0, 0, 0, 0, 0}, tags = cjson.decode(ARGV[7]), kind = ARGV[8], partition = ARGV[9]}
end
if key ~= '' then note(key, after) end
if op == 'hit' then
  redis.call('HINCRBY', index .. 'totals', 'hits', ARGV[7])
  redis.call('HINCRBY', index .. 'totals', 'micros_saved', ARGV[8])
  redis.call('HINCRBY', index .. 'totals', 'tokens_saved', ARGV[9])
end
sweep(op == 'sweep' and 1000 or 16)
return {result, redis.call('HGET', index .. 'totals', 'size') or '0'}
"""

CLAIM = """
local holder, token = unpack(redis.call('HMGET', KEYS[1], 'holder', 'token'))
if holder and holder ~= ARGV[1] then return '0' end
local time = redis.call('TIME')
local new = math.max(time[1] * 1000000 + time[2], tonumber(token or 0) + 1)
new = string.format('%.0f', new)
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'token', new)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return new
"""
"""Have a lease, as a token larger than any before it; '0' while another has it."""

RENEW = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
"""Have a lease for longer, unless it has run out."""

RELEASE = "if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
