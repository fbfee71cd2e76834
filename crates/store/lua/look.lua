--[[ look.lua: many reads as of one instant.

  Why a script   A transaction would do, but a server short of memory refuses one even when it only reads,
                 and that is when somebody wants to look.
  Caller         the doctor (src/doctor/), a page at a time.
  Decides        Nothing, and writes nothing.

  KEYS  1…  named by index in ARGV 1

  ARGV  1 reads  JSON: list of {command, key, arguments}

  Reply the answers, in order; nothing stands as nil

  Safe to repeat: yes.
  Cost: that of the reads; the caller bounds their number. ]]

local answers = {}
for n, read in ipairs(cjson.decode(ARGV[1])) do
  answers[n] = redis.call(read[1], KEYS[read[2]], unpack(read[3]))
end
return answers
