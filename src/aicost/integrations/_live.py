LIVE = ()
