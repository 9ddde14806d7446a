module cordon.local/bench-driver

go 1.22
