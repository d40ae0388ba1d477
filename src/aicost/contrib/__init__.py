"""Where scopes and runs come from in frameworks people use: web servers and task queues, each a module of its own."""
