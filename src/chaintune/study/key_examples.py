"""An example of each key of a study file whose default tells too little: editors write it, and docs show it."""

from collections.abc import Mapping
from typing import Any

import yaml

# Part of the file -> key -> example. Editors write them without quotes, so none begins with a brace or a hash.
EXAMPLES: Mapping[str, Mapping[str, Any]] = yaml.safe_load("""\
study:
  base: smollm2-135m
  tasks: {bbq: {train: 30 per category, test: 40 per category}}
  chains: both orders
  recipe: {method: lora, learning_rate: 0.0001}
  vary: {seed: 3}
  mitigations: [{replay: {task: bbq, dose: [0.05, 0.1]}}]
  curvature: {examples: 16}
  allow_unused: ["vision_tower.*"]
  serve: "vllm serve {model} --port {port}"
task:
  role: safety
  train: 200
  test: 40 per category
  path: items.jsonl
  test_path: test.jsonl
  use: bbq
  hub: allenai/sciq
  config: main
  split: train
  columns: {prompt: question, groups: {religion: faith}}
  unusable: skip
  lm_eval: arc_easy
  fewshot: 2
  include_path: our_tasks
  free: 200
  only: {category: [Age, Religion]}
  test_share: 0.5
  recipe: {epochs: 2}
  measure: generation
  metric: accuracy
  labelling: false
  chat: "on"
  system: Answer briefly.
  chat_template: template.jinja
  margin: 0.05 nats
  labels: labels.csv
  scorer: refusal
  max_new_tokens: 64
  samples: 4
  temperature: 0.7
  generation_seed: 1
  stop: [END]
columns:
  id: key
  messages: messages
  prompt: "Question: {question}"
  input: context
  system: instructions
  response: answer
  chosen: better
  rejected: worse
  text: text
  choices: options
  gold: right
  labels: [A, B]
  cluster: template
  split: part
  pair: pair
  expects: expects
  groups: {religion: faith}
  extra: [reference]
split: {train: train, test: validation}
recipe:
  objective: dpo
  teach: chosen
  peft: {peft_type: OFT, r: 0}
  adapter: fresh
  quantize: 4bit
  share_prefixes: false
  lora_targets: [q_proj, v_proj]
  report_to: tensorboard
external: {path: models/other, command: bash train.sh, task: bbq, name: ours, files: [train.sh], folder: scripts}
serve:
  command: "vllm serve {model} --port {port}"
  measures: [generation, choice]
  adapters: "--enable-lora --lora-modules {name}={adapter}"
  folder: servers
scorer:
  {column: answer, pattern: "(?i)cannot|will not", group: 1, expected: "42", any: [please, thank you], all: [sorry],
   phrases: [no way], model: org/judge, template: harmfulness, label: toxic, direction: less}
mitigation:
  {task: bbq, recipe: {epochs: 2}, by: category, prompts: csqa, keep: refused, strength: 10, parts: embed_tokens}
""")
