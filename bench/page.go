package main

func writePage(dir string, results []Result) error { return nil }
