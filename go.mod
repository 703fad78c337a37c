module weir

go 1.25.0
