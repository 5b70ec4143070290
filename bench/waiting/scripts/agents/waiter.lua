local agent = require("perigee.agent")
local time = require("perigee.time")

return agent("waiter")({
  title = "Waits",
  capabilities = {
    wait = {
      title = "Wait until a time",
      input = { at = "integer" },
      output = { ok = "boolean" },
      run = function(input)
        time.sleep_until(input.at)
        return { ok = true }
      end,
    },
  },
})
