-- What a script finds: the parts of Lua that it may use, and the server's own functions.
-- Called once for an interpreter, with the Rust functions (`host`), an empty table for
-- the globals that scripts see, and one for `redis`.

local host, globals, api = ...
local error, getmetatable, ipairs, loadstring, next, pairs, pcall, rawequal, rawget, rawset =
  error, getmetatable, ipairs, loadstring, next, pairs, pcall, rawequal, rawget, rawset
local select, setmetatable, tostring, type, xpcall = select, setmetatable, tostring, type, xpcall
local byte, concat, gsub, sub, find = string.byte, table.concat, string.gsub, string.sub, string.find
local floor = math.floor

local READONLY = "Attempt to modify a readonly table"

-- Tables that cannot be changed: what a script holds is empty, and shows what is here.
local content = setmetatable({}, { __mode = "k" })
local sealed

local function refuse()
  error(READONLY, 2)
end

local function protect(inner)
  local shown = {}
  content[shown] = inner
  local meta = { __index = inner, __newindex = refuse, __metatable = sealed }
  setmetatable(shown, meta)
  return shown, meta
end

sealed = protect({})

-- ----- Lua's own ------------------------------------------------------------

local lua = {
  assert = assert, error = error, gcinfo = gcinfo, getmetatable = getmetatable, ipairs = ipairs,
  rawequal = rawequal, select = select, tonumber = tonumber, tostring = tostring, type = type,
  unpack = unpack, _VERSION = _VERSION,
}

function lua.rawget(t, key)
  return rawget(content[t] or t, key)
end

function lua.rawset(t, key, value)
  if content[t] then error(READONLY, 0) end
  return rawset(t, key, value)
end

function lua.setmetatable(t, meta)
  if content[t] then error(READONLY, 0) end
  return setmetatable(t, meta)
end

function lua.next(t, key)
  return next(content[t] or t, key)
end

function lua.pairs(t)
  local inner = content[t]
  if inner then
    return function(_, key) return next(inner, key) end, t, nil
  end
  return next, t, nil
end

-- What is not Lua's own to raise is a text for scripts.
local function raised(what)
  if type(what) == "userdata" then return host.text_of(what) end
  return what
end

-- An error that was raised as a table reaches scripts as its text.
local function caught(ok, what, ...)
  if not ok then
    what = raised(what)
    if type(what) == "table" then
      local text = what.err
      if type(text) == "string" or type(text) == "number" then what = text end
    end
  end
  return ok, what, ...
end

function lua.pcall(...)
  return caught(pcall(...))
end

function lua.xpcall(f, handle)
  return xpcall(f, function(what) return handle(raised(what)) end)
end

local resume = coroutine.resume

local function resumed(ok, what, ...)
  if not ok then what = raised(what) end
  return ok, what, ...
end

function coroutine.resume(...)
  return resumed(resume(...))
end

-- Compiled chunks are not loaded: nobody checks them.
function lua.loadstring(text, name)
  if type(text) == "string" and byte(text) == 27 then
    return nil, "attempt to load a compiled chunk"
  end
  return loadstring(text, name)
end

function lua.load(read, name)
  local pieces = {}
  while true do
    local piece = read()
    if piece == nil or piece == "" then break end
    if type(piece) ~= "string" then error("reader function must return a string", 2) end
    pieces[#pieces + 1] = piece
  end
  return lua.loadstring(concat(pieces), name or "=(load)")
end

-- Whoever stops the collector stops it for all scripts.
function lua.collectgarbage(what, n)
  if what == "stop" or what == "setpause" or what == "setstepmul" then return 0 end
  return collectgarbage(what, n)
end

local function between(low, high)
  return floor(host.random() * (high - low + 1)) + low
end

function math.random(...)
  local count = select("#", ...)
  if count == 0 then return host.random() end
  if count > 2 then error("wrong number of arguments", 2) end
  local low, high = 1, ...
  if count == 2 then low, high = ... end
  low, high = tonumber(low), tonumber(high)
  if not low or not high then error("bad argument to 'random' (number expected)", 2) end
  if low > high then error("bad argument #" .. count .. " to 'random' (interval is empty)", 2) end
  return between(low, high)
end

function math.randomseed(seed)
  seed = tonumber(seed)
  if not seed then error("bad argument #1 to 'randomseed' (number expected)", 2) end
  host.seed(seed)
end

os = { clock = os.clock }
getmetatable("").__index = string
getmetatable("").__metatable = protect({ __index = protect(string) })

for name, value in pairs(lua) do globals[name] = value end
for _, name in ipairs({ "string", "math", "table", "coroutine", "os" }) do
  globals[name] = protect(_G[name])
end
for name, module in pairs(host.modules) do globals[name] = protect(module) end

-- ----- The server's ---------------------------------------------------------

local function trim(text)
  return (gsub(gsub(text, "^[\r\n]+", ""), "[\r\n]+$", ""))
end

-- "-CODE text" or "CODE text"; one word alone is no code.
function api.error_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then
    return { err = "ERR wrong number or type of arguments" }
  end
  if byte(text) == 45 then text = sub(text, 2) end
  local at = find(text, " ", 1, true)
  if not at then return { err = "ERR " .. trim(text) } end
  return { err = sub(text, 1, at - 1) .. " " .. trim(sub(text, at + 1)) }
end

function api.status_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then
    return { err = "ERR wrong number or type of arguments" }
  end
  return { ok = text }
end

-- ----- Running --------------------------------------------------------------

local function handler(what)
  local source, line = host.where()
  what = raised(what)
  if type(what) ~= "table" then
    what = { err = "ERR " .. tostring(what) }
  elseif content[what] then
    what = {}
  end
  if source then
    rawset(what, "source", source)
    rawset(what, "line", line)
  end
  return what
end

globals.__server__err__handler = handler
globals.__redis__err__handler = handler

local function run(f, keys, args)
  return xpcall(function() return f(keys, args) end, handler)
end

setmetatable(globals, {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
})

local shown, meta = protect(globals)
globals._G = shown
globals.redis = protect(api)
globals.server = globals.redis

-- What a library finds while it is loaded: nothing but this.
local loading = {}
for name, value in pairs(api) do
  if find(name, "^LOG_") or find(name, "VERSION") or name == "SERVER_NAME" or name == "log" then
    loading[name] = value
  end
end
loading.register_function = host.register
local function missing(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end
setmetatable(loading, { __index = missing })
local first = setmetatable({ redis = protect(loading) }, { __index = missing })
first.server = first.redis

-- Has libraries find what they may use while they are loaded, or what they may use later.
local function begin_loading(begins)
  meta.__index = begins and first or globals
  content[shown] = begins and first or globals
end

return shown, run, begin_loading
