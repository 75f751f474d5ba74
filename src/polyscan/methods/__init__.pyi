from polyscan.methods.write import methods_text as methods_text, write_methods as write_methods
