-- Scripts run in cells: LuaJIT without the libraries that a cell does not offer.
std = "luajit"
max_line_length = 140
unused_args = false
files["**/*_spec.lua"] = { std = "+busted" }
