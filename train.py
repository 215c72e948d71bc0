"""Trains ELEGANT: `python train.py --run_dir=runs/demo --preset=demo`; `--help` lists every option."""

from elegant_tf.launch import run

if __name__ == "__main__":
    run()
