"""`python -m lit_textclf`."""

from lit_textclf.cli.main import main_script

if __name__ == "__main__":
    main_script()
