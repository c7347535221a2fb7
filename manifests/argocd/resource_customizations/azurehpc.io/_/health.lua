-- Health of HPCEnvironment, StorageTier and ComputePartition for Argo CD. Their conditions follow kstatus: Ready is
-- always there, Reconciling and Stalled only while they are true. So Ready=False alone waits for a person.
local function condition(name)
  for _, candidate in ipairs((obj.status or {}).conditions or {}) do
    if candidate.type == name then
      return candidate
    end
  end
  return { status = "Unknown", message = "" }
end

local ready, reconciling, stalled = condition("Ready"), condition("Reconciling"), condition("Stalled")

-- What was written about an older generation says nothing about this one.
if (obj.status or {}).observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator to look at the latest change" }
end
if stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
end
if reconciling.status == "True" then
  return { status = "Progressing", message = reconciling.message }
end
if ready.status == "True" then
  return { status = "Healthy", message = ready.message }
end
if ready.status == "False" then
  return { status = "Degraded", message = ready.message }
end
return { status = "Progressing", message = ready.message }
