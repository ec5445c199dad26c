import unittest

from greet import greet


class GreetTest(unittest.TestCase):
    def test_it_says_hello(self) -> None:
        self.assertEqual(greet("Ada"), "Hello, Ada!")
