-- wrk script: requests users 1 to 1000 in turn, so that no server can serve a single cached row.
local requests, turn = {}, 0

function init()
  for id = 1, 1000 do
    requests[id] = wrk.format("GET", "/api/users/" .. id)
  end
end

function request()
  turn = turn % 1000 + 1
  return requests[turn]
end
