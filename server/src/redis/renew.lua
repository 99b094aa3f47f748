-- ARGV: and the epoch that is over.
if epoch == ARGV[8] then
  redis.call('HSET', meta, 'epoch', fresh)
end
return 'OK'
