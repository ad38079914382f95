"""Let transformers write sentences: python examples/scale/generate.py FOLDER [BEGINNING]"""

import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

folder, beginning = sys.argv[1], " ".join(sys.argv[2:])
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
written = model.generate(**tokenizer(beginning, return_tensors="pt"), do_sample=False)
print(type(model).__name__, f"{model.num_parameters():,} parameters")
print(tokenizer.decode(written[0], skip_special_tokens=True))
