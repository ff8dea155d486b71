"""The main job in one command: train, retrieve both ways, classify, name mechanisms, store.

``python -m cloome_sk.demo --help`` lists the options. Every figure is measured on molecules or
plates that the encoder which is scored was not trained on, and stands beside its chance level.
"""
