"""How people reach and run the pipeline: command line, gateway, sandbox, embedded Redis, files of operation."""
